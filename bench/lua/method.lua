local Account = {}
Account.__index = Account
function Account.new(b) return setmetatable({ balance = b }, Account) end
function Account:deposit(v) self.balance = self.balance + v return self end
function Account:get() return self.balance end
local a, s = Account.new(0), 0
for i = 1, 10000000 do
  a:deposit(1)
  s = s + a:get() % 7
end
assert(a:get() == 10000000)
