-- Posts the bodies of the file named by BODIES, one JSON document a line, in turn, or gets the path
-- named by FIXED; prints one line of counts at the end. Requests are formatted once, so that wrk
-- costs as little as it can.
local requests = {}
local turn = 0

function init(args)
    local fixed = os.getenv("FIXED")
    if fixed then
        requests[1] = wrk.format("GET", fixed)
        return
    end
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    for body in io.lines(os.getenv("BODIES")) do
        requests[#requests + 1] = wrk.format(nil, "/v1/estimates", nil, body)
    end
end

function request()
    turn = turn % #requests + 1
    return requests[turn]
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format("COUNTS %d %d %d %d %d %d\n", summary.requests, summary.duration,
        errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
