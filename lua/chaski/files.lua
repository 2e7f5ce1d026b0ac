-- files.lua: the few files that must never be half written: keys and certificates. A file, or a set of files that
-- belong together, is replaced by a whole new one (temporary, fsync, rename, fsync of the folder) or not at all; what
-- is private is 0600 from its first byte. Results are nil, err with code missing, exists, exposed, access, no_space or
-- io, the file named in it.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local uv = require "luv"

local PRIVATE, PUBLIC, FOLDER = 384, 420, 448 -- 0600, 0644, 0700
local OTHERS = 63 -- 0077: what a private file lets nobody do
local MOST = 1024 * 1024 -- bytes of a file that is read whole

local M = {}

local codes = {
  ENOENT = "missing",
  ENOTDIR = "missing",
  EEXIST = "exists",
  EACCES = "access",
  EPERM = "access",
  EROFS = "access",
  ENOSPC = "no_space",
  EDQUOT = "no_space",
  EFBIG = "no_space",
}

local function failed(what, path, text, name)
  local reason = tostring(text):gsub("^%u+: ", ""):gsub(": .*$", "")
  return nil, core.new_error(codes[name] or "io", ("cannot %s '%s': %s"):format(what, path, reason))
end

local function folder_of(path)
  return path:match "^(.*)/[^/]*$" or "."
end

--- The error that a file which others may read is answered with.
local function exposed(path)
  local text = "'%s' can be read or changed by others; it must be its owner's alone (chmod 600)"
  return nil, core.new_error("exposed", text:format(path))
end

-- --- reading ---------------------------------------------------------------------------------------------------------

local function read_open(fd, path, private)
  local stat, text, name = uv.fs_fstat(fd)
  if not stat then return failed("read", path, text, name) end
  if stat.type ~= "file" then return nil, core.new_error("io", ("'%s' is no file"):format(path)) end
  if private and stat.mode & OTHERS ~= 0 then return exposed(path) end
  if stat.size > MOST then return nil, core.new_error("io", ("'%s' is too large"):format(path)) end
  local bytes
  bytes, text, name = uv.fs_read(fd, MOST, 0)
  if not bytes then return failed("read", path, text, name) end
  return bytes
end

--- The bytes of a file; a private one is refused when others may read or write it.
---@param path string
---@param private boolean?
---@return string?, chaski.error?
function M.read(path, private)
  local fd, text, name = uv.fs_open(path, "r", 0)
  if not fd then return failed("read", path, text, name) end
  local bytes, err = read_open(fd, path, private)
  uv.fs_close(fd)
  return bytes, err
end

--- true if the file is there and nobody else's; for files that others than we read (a database).
function M.check_private(path)
  local stat, text, name = uv.fs_stat(path)
  if not stat then return failed("read", path, text, name) end
  if stat.mode & OTHERS ~= 0 then return exposed(path) end
  return true
end

function M.exists(path)
  return uv.fs_lstat(path) ~= nil
end

-- --- writing ---------------------------------------------------------------------------------------------------------

local function write_all(fd, bytes)
  local at = 0
  while at < #bytes do
    local n, text, name = uv.fs_write(fd, bytes:sub(at + 1), at)
    if not n then return nil, text, name end
    at = at + n
  end
  return uv.fs_fsync(fd)
end

--- Make a file that is not there yet, and see to it that its bytes are on the disk.
local function write_new(path, bytes, mode)
  local fd, text, name = uv.fs_open(path, "wx", mode)
  if not fd then return failed("make", path, text, name) end
  local ok
  ok, text, name = write_all(fd, bytes)
  uv.fs_close(fd)
  if ok then return true end
  uv.fs_unlink(path)
  return failed("write", path, text, name)
end

--- What was made or renamed in a folder is there after a power loss too.
local function sync_folder(folder)
  local fd, text, name = uv.fs_open(folder, "r", 0)
  if not fd then return failed("open", folder, text, name) end
  local ok
  ok, text, name = uv.fs_fsync(fd)
  uv.fs_close(fd)
  if not ok then return failed("write", folder, text, name) end
  return true
end

--- The same after a rename, which is done and not undone: what is there now is right, if not yet safe.
local function sync_renamed(path)
  local ok, err = sync_folder(folder_of(path))
  if not ok then core.log("warn", "", ("'%s' may be lost in a power failure: %s"):format(path, tostring(err))) end
  return true
end

--- A new file, its owner's alone; never one that is there already (code exists).
---@return true?, chaski.error?
function M.create(path, bytes)
  local ok, err = write_new(path, bytes, PRIVATE)
  if not ok then return nil, err end
  ok, err = sync_folder(folder_of(path))
  if ok then return true end
  uv.fs_unlink(path)
  return nil, err
end

--- A whole new file in the place of what is there, if anything: after a failure the old one is as it was.
---@param public boolean? may be read by others; else 0600
---@return true?, chaski.error?
function M.replace(path, bytes, public)
  local temporary = ("%s.%016x.new"):format(path, core.random(math.mininteger, math.maxinteger))
  local ok, err = write_new(temporary, bytes, public and PUBLIC or PRIVATE)
  if not ok then return nil, err end
  local text, name
  ok, text, name = uv.fs_rename(temporary, path)
  if not ok then
    uv.fs_unlink(temporary)
    return failed("replace", path, text, name)
  end
  return sync_renamed(path)
end

-- --- sets of files ---------------------------------------------------------------------------------------------------

local function remove_folder(path, names)
  for name in pairs(names) do
    uv.fs_unlink(path .. "/" .. name)
  end
  uv.fs_rmdir(path)
end

local function write_folder(path, contents)
  local ok, text, name = uv.fs_mkdir(path, FOLDER)
  if not ok then return failed("make the folder", path, text, name) end
  local err
  for file, bytes in pairs(contents) do
    if ok then
      ok, err = write_new(path .. "/" .. file, bytes, PRIVATE)
    end
  end
  if ok then
    ok, err = sync_folder(path)
  end
  if not ok then remove_folder(path, contents) end
  return ok, err
end

local function point_to(path, folder)
  local link = folder .. ".link"
  local ok, text, name = uv.fs_symlink(folder:match "[^/]*$", link)
  if ok then
    ok, text, name = uv.fs_rename(link, path)
  end
  if ok then return sync_renamed(path) end
  uv.fs_unlink(link)
  return failed("replace", path, text, name)
end

--- Replace all files of a set at once. `path` is a symbolic link to a folder with them, made and remade here: whoever
--- reads path/NAME sees the old set or the new one, never some of both. { name = bytes }, all private.
---@return true?, chaski.error?
function M.replace_set(path, contents)
  local old, stat = uv.fs_readlink(path), uv.fs_lstat(path)
  if stat and not old then
    local text = "'%s' is no set of files of ours; it must not be there, or be a symbolic link"
    return nil, core.new_error("exists", text:format(path))
  end
  local id = ("%016x"):format(core.random(math.mininteger, math.maxinteger))
  local folder = ("%s/.%s.%s"):format(folder_of(path), path:match "[^/]*$", id)
  local ok, err = write_folder(folder, contents)
  if not ok then return nil, err end
  ok, err = point_to(path, folder)
  if not ok then
    remove_folder(folder, contents)
    return nil, err
  end
  if old and not old:find("/", 1, true) then remove_folder(folder_of(path) .. "/" .. old, contents) end
  return true
end

function M.is_set(path)
  return uv.fs_readlink(path) ~= nil
end

--- Whether `size` bytes can be written beside path now: before something is spent that leads to writing them.
function M.probe(path, size)
  local temporary = ("%s.%016x.probe"):format(path, core.random(math.mininteger, math.maxinteger))
  local ok, err = write_new(temporary, ("\0"):rep(size), PRIVATE)
  if not ok then return nil, err end
  uv.fs_unlink(temporary)
  return true
end

--- A folder, its owner's alone when it is new.
function M.make_folder(path)
  local ok, text, name = uv.fs_mkdir(path, FOLDER)
  if ok then return sync_renamed(path) end
  local stat = name == "EEXIST" and uv.fs_stat(path)
  if stat and stat.type == "directory" then return true end
  return failed("make the folder", path, text, name)
end

function M.remove(path)
  return uv.fs_unlink(path) ~= nil
end

return M
