-- Asks Chaperone about a request: one subrequest to /forward-auth, before anything is handed on.
--
-- HAProxy goes on with its rules when a Lua action fails, whatever the failure. So this action never denies; it only
-- ever opens, by setting txn.chaperone to "allow" as its very last step, and haproxy.cfg denies whatever does not have
-- that. No error, no time-out and no odd answer can skip the denial.
--
-- Needs HAProxy 2.5 or later (its own HTTP client); 2.6.7 or later is better, since the first ones had faults in it.

local URL = os.getenv("CHAPERONE_URL")               -- http(s)://HOST:PORT/forward-auth
local SECRET = os.getenv("CHAPERONE_SECRET")         -- as in the secret_file of [pep.haproxy]
local NAME = os.getenv("CHAPERONE_NAME")             -- with https: the DNS name in Chaperone's certificate
local TIMEOUT_MILLISECONDS = 2000

if not URL or not SECRET then
    error("CHAPERONE_URL and CHAPERONE_SECRET must be set")
end

-- What belongs to the client's connection and body, not to its question; and what is said below, by us alone.
local NOT_PASSED = {
    ["host"] = true,
    ["connection"] = true,
    ["proxy-connection"] = true,
    ["keep-alive"] = true,
    ["transfer-encoding"] = true,
    ["content-length"] = true,
    ["expect"] = true,
    ["te"] = true,
    ["trailer"] = true,
    ["upgrade"] = true,
    ["http2-settings"] = true,
    ["x-pdp-secret"] = true,
    ["x-original-method"] = true,
    ["x-original-uri"] = true,
    ["x-original-host"] = true,
}

-- What an allow must come with. Whatever is missing would leave the client's copy in its place.
local IDENTITY = { "decision", "subject", "subject-type", "fields", "obligations" }

local function question(txn)
    local headers = {}
    for name, lines in pairs(txn.http:req_get_headers()) do
        if not NOT_PASSED[name] then
            local values = {}
            local index = 0                          -- HAProxy counts the lines of a header from 0
            while lines[index] ~= nil do
                values[#values + 1] = lines[index]
                index = index + 1
            end
            headers[name] = values
        end
    end
    if NAME then
        headers["host"] = { NAME }                   -- HAProxy asks for, and verifies, the name that stands here
    end
    headers["x-pdp-secret"] = { SECRET }
    headers["x-original-method"] = { txn.sf:method() }
    headers["x-original-uri"] = { txn.sf:pathq() }   -- raw, without the scheme and host of an absolute target
    headers["x-original-host"] = { txn.sf:req_fhdr("host") }
    return headers
end

-- The one line of a header of the answer; nil for none, and for two.
local function only(headers, name)
    local lines = headers[name]
    if lines == nil or lines[1] ~= nil then
        return nil
    end
    return lines[0]
end

local function ask(txn)
    local answer = core.httpclient():get({ url = URL, headers = question(txn), timeout = TIMEOUT_MILLISECONDS })
    if answer == nil or answer.headers == nil then
        return
    end
    local headers = answer.headers
    txn:set_var("txn.chaperone_decision", only(headers, "x-pdp-decision") or "-")
    txn:set_var("txn.chaperone_receipt", only(headers, "x-pdp-receipt") or "-")
    if answer.status == 401 or answer.status == 429 then
        txn:set_var("txn.chaperone_status", answer.status)
        txn:set_var("txn.chaperone_challenge", only(headers, "www-authenticate") or "Bearer")
        txn:set_var("txn.chaperone_retry_after", only(headers, "retry-after") or "1")
        return
    end
    if answer.status == 403 then
        txn:set_var("txn.chaperone_status", 403)
        return
    end
    if answer.status ~= 200 then
        return
    end
    for _, name in ipairs(IDENTITY) do
        local value = only(headers, "x-pdp-" .. name)
        if value == nil or value == "" then
            return
        end
        txn:set_var("txn.chaperone_" .. name:gsub("-", "_"), value)
    end
    txn:set_var("txn.chaperone", "allow")            -- the last step
end

core.register_action("chaperone", { "http-req" }, ask, 0)
