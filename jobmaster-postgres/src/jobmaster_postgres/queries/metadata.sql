-- Conditions on metadata, each for values of one type: what is stored as another type never matches.
-- {value} is the value's JSON, {tag:x} says that it is an object tagged as type x (see jobmaster.data).
-- CASE keeps casts away from what is of another type.

-- name: by_nothing
FALSE

-- name: by_null
json_typeof({value}) = 'null'

-- name: by_boolean
CASE WHEN json_typeof({value}) = 'boolean' THEN {text}::boolean END {op} :value{i}::boolean

-- name: by_number
-- Integers beyond 64 bits and infinities are tagged; nan is equal to nothing, not even to itself.
CASE
  WHEN json_typeof({value}) = 'number' THEN {text}::numeric
  WHEN {tag:int} THEN {inner:v}::numeric
  WHEN {tag:float} THEN CASE {inner:v} WHEN 'inf' THEN '1e1000'::numeric WHEN '-inf' THEN '-1e1000'::numeric END
END {op} :value{i}::text::numeric

-- name: by_text
CASE WHEN json_typeof({value}) = 'string' THEN {text} END COLLATE "C" {op} :value{i}::text

-- name: by_text_containing
CASE WHEN json_typeof({value}) = 'string' THEN position(:value{i}::text IN {text}) > 0 END

-- name: by_text_starting
CASE WHEN json_typeof({value}) = 'string' THEN starts_with({text}, :value{i}::text) END

-- name: by_text_ending
CASE WHEN json_typeof({value}) = 'string' THEN right({text}, length(:value{i}::text)) = :value{i}::text END

-- name: by_decimal
-- NaN and Infinity, which not every server's numeric knows, compare with nothing.
CASE WHEN {tag:dec} AND {inner:v} ~ '^[-+]?[0-9.]+([eE][-+]?[0-9]{1,5})?$' THEN {inner:v}::numeric END
  {op} :value{i}::text::numeric

-- name: by_aware_moment
-- Moments are compared as such, in whatever zone they are written. An offset stands behind the time.
CASE WHEN {tag:dt} AND substr({inner:v}, 11) ~ '[-+]' THEN {inner:us}::bigint END {op} :value{i}::bigint

-- name: by_naive_moment
CASE WHEN {tag:dt} AND substr({inner:v}, 11) !~ '[-+]' THEN {inner:us}::bigint END {op} :value{i}::bigint

-- name: by_span
CASE WHEN {tag:td} THEN {inner:us}::bigint END {op} :value{i}::bigint

-- name: by_date
CASE WHEN {tag:date} THEN {inner:v} END COLLATE "C" {op} :value{i}::text

-- name: by_uuid
CASE WHEN {tag:uuid} THEN {inner:v} END COLLATE "C" {op} :value{i}::text

-- name: by_bytes
CASE WHEN {tag:bytes} THEN decode({inner:v}, 'base64') END {op} decode(:value{i}::text, 'base64')

-- name: by_enum
CASE WHEN {tag:enum} AND {inner:c} = :class{i}::text THEN {inner:v} END {op} :value{i}::text
