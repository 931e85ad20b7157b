"""The FAST protocol's steps as Lua, each on one key: what a conversation's key may go through.

A key is one string, so that it is evicted as a unit:

    V <version> \\n <value>                        val(version, value)
    S <floor> <lease|-> [<token>:<deadline> …]     floor; with a lease; marked by writers

`floor`: nothing older may be stored. `lease`: the nonce of the one reader who may fill. A mark is
a writer's token with the time, in milliseconds of Redis's clock, until which it counts. Absent,
marked and leased keys are misses. docs/cache-strategy.md tells why this is never stale.
"""

_STATE = """
local key, clock = KEYS[1], redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function read()
    local head = redis.call('GETRANGE', key, 0, 31)
    if head == '' then return {kind = 'absent', floor = '0', marks = {}} end
    if head:sub(1, 1) == 'V' then
        return {kind = 'value', floor = '0', version = head:match('^V (%d+)\\n'), marks = {}}
    end
    local state = {kind = 'state', marks = {}}
    local rest
    local whole = redis.call('GETRANGE', key, 0, 65535)
    state.floor, state.lease, rest = whole:match('^S (%d+) (%S+)(.*)$')
    if state.lease == '-' then state.lease = nil end
    for token, deadline in (rest or ''):gmatch('(%S+):(%d+)') do
        if tonumber(deadline) > now then state.marks[token] = deadline end
    end
    return state
end

local function is_broken(state)
    return not (state.kind == 'absent' or state.version or (state.kind == 'state' and state.floor))
end

local function higher(one, other)
    return tonumber(one) < tonumber(other) and other or one
end

local function write(floor, lease, marks, lifetime)
    local words = {'S', floor, lease or '-'}
    for token, deadline in pairs(marks) do words[#words + 1] = token .. ':' .. deadline end
    redis.call('SET', key, table.concat(words, ' '), 'PX', lifetime)
end

local state = read()
if is_broken(state) then
    redis.call('UNLINK', key)
    state = read()
end
"""

BEGIN = (
    _STATE
    + """
-- A writer is about to commit: nobody reads or fills until END, or until the mark has expired.
-- ARGV: token, the mark's lifetime, the key's, whether the old value is wanted (1), most bytes.
local value = ''
if state.kind == 'value' and ARGV[4] == '1' then
    value = redis.call('GETRANGE', key, 0, ARGV[5])
end
state.marks[ARGV[1]] = string.format('%d', now + ARGV[2])
write(state.floor, nil, state.marks, ARGV[3])
return value
"""
)

END = (
    _STATE
    + """
-- A writer has committed `version`; the relay calls it without a token of its own.
-- ARGV: token, version, the key's lifetime, the value's, the value or ''.
local version = ARGV[2]
if state.kind == 'absent' then return 'absent' end
if state.kind == 'value' then
    if tonumber(state.version) >= tonumber(version) then return 'kept' end
    redis.call('UNLINK', key)
    return 'prevented'
end
if state.lease then
    redis.call('UNLINK', key)
    return 'dropped'
end
local is_mine = state.marks[ARGV[1]] ~= nil
state.marks[ARGV[1]] = nil
local is_last, floor = next(state.marks) == nil, higher(state.floor, version)
if is_last and is_mine and ARGV[5] ~= '' and tonumber(version) >= tonumber(floor) then
    redis.call('SET', key, 'V ' .. version .. '\\n' .. ARGV[5], 'PX', ARGV[4])
    return 'stored'
end
write(floor, nil, state.marks, ARGV[3])
return 'fenced'
"""
)

DROP = (
    _STATE
    + """
-- A reader can't show the value. Marks and leases that took its place meanwhile stay.
if state.kind == 'value' then redis.call('UNLINK', key) end
return ''
"""
)

READ = (
    _STATE
    + """
-- A reader found no value: it gets one that came meanwhile, or the lease to fill.
-- ARGV: nonce, the lease's lifetime, the key's, most bytes.
if state.kind == 'value' then return redis.call('GETRANGE', key, 0, ARGV[4]) end
if next(state.marks) ~= nil then return 'M' end
write(state.floor, ARGV[1], {}, state.floor == '0' and ARGV[2] or ARGV[3])
return 'L'
"""
)

FILL = (
    _STATE
    + """
-- A reader brings what it read from PostgreSQL after it got the lease.
-- ARGV: nonce, version, the value's lifetime, the value.
if state.lease ~= ARGV[1] or next(state.marks) ~= nil then return 'refused' end
if tonumber(ARGV[2]) < tonumber(state.floor) then return 'refused' end
redis.call('SET', key, 'V ' .. ARGV[2] .. '\\n' .. ARGV[4], 'PX', ARGV[3])
return 'stored'
"""
)
