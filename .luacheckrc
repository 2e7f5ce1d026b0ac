-- luacheck: Lua 5.4, the width of .stylua.toml; specs know busted.
std = "lua54"
max_line_length = 120
exclude_files = { "build/" }

files["spec/"] = { std = "+busted" }
