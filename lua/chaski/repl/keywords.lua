-- keywords.lua: the reserved words of Lua 5.4, in a list. SPDX-License-Identifier: MIT
local text = [[
  and break do else elseif end false for function goto if in local nil not or repeat return then true until while]]

local keywords = {}
for word in text:gmatch "%a+" do
  keywords[#keywords + 1] = word
end
return keywords
