-- handle.lua: what functions that register something return: an object whose remove() undoes it, once.
-- SPDX-License-Identifier: MIT

---@class chaski.handle
---@field active boolean
local Handle = {}
Handle.__index = Handle
Handle.__name = "chaski.handle"

--- Undo what the handle stands for; again: nothing.
function Handle:remove()
  local undo = self.undo
  self.undo, self.active = nil, false
  if undo then undo() end
end

Handle.__close = Handle.remove

function Handle:__tostring()
  return ("handle(%s%s)"):format(self.what, self.active and "" or ", removed")
end

---@param what string
---@param undo fun()
---@return chaski.handle
return function(what, undo)
  return setmetatable({ what = what, undo = undo, active = true }, Handle)
end
