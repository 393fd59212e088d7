return nil, true, false, 0, 1.5, 1e300, 0x10, "text", 'te\0xt', 5LL, 0xffULL, [[long
text]]
