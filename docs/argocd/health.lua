-- The health of a Shop for Argo CD. It looks at conditions and at what is blocked, and knows two reasons alone: new ones need no change here.

local function health(status, message)
  return { status = status, message = message }
end

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready
local progressing = conditions.Progressing

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "the Shop is being deleted")
end
-- Until the operator has looked, a status speaks of what the Shop asked for before.
if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not seen this Shop as it is now")
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
local function is_true(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
-- Somebody holds a release, or its canary waits for somebody; what ran before runs. A service that waits for help would be the reason in its place.
local waits = ready.reason == "Held" or ready.reason == "WaitsForPromotion"
if waits and is_true("DatabasesReady") and is_true("BrokerReady") then
  return health("Suspended", ready.message)
end
for _, service in ipairs(status.services or {}) do
  if service.blockedBy ~= nil then
    return health("Degraded", ready.message)
  end
end
-- Not ready and nothing is on its way: it waits for a person.
if ready.status == "False" and progressing ~= nil and progressing.status == "False" then
  return health("Degraded", ready.message)
end
return health("Progressing", ready.message)
