local a
local b = a
  .x
  .y
  + 1
f(
  1,
  b
)
return g {
  b,
}
