-- The script of wrk: `wrk ... -- METHOD FILE` sends the lines of FILE in turn, each as the body of a
-- POST or as the path of a GET. All requests are built before the first one is sent.
local requests = {}
local sent = 0

function init(arguments)
  local method, file = arguments[1], arguments[2]
  for line in io.lines(file) do
    if method == "POST" then
      requests[#requests + 1] = wrk.format(method, nil, nil, line)
    else
      requests[#requests + 1] = wrk.format(method, line)
    end
  end
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end
