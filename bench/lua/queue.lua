local insert, remove = table.insert, table.remove
local stack = {}
for round = 1, 20 do
  for i = 1, 100000 do insert(stack, i) end
  for i = 1, 100000 do remove(stack) end
end
local queue = {}
for i = 1, 100 do insert(queue, i) end
local sum = 0
for i = 1, 200000 do
  sum = sum + remove(queue, 1)
  insert(queue, i)
  insert(queue, 50, remove(queue))
end
assert(#stack == 0 and #queue == 100 and sum > 0)
