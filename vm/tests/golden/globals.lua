x = y
x = x + 1
function f() return x end
function f.g() end
function f.g:m() return self end
