-- One row of 32 random float32 features in Open Inference Protocol V2 JSON.
wrk.method = "POST"
wrk.path = "/v2/models/tiny/infer"
wrk.headers["Content-Type"] = "application/json"
math.randomseed(1)
local values = {}
for i = 1, 32 do values[i] = string.format("%.6f", math.random()) end
wrk.body = '{"inputs":[{"name":"x","shape":[1,32],"datatype":"FP32","data":[' .. table.concat(values, ",") .. "]}]}"
