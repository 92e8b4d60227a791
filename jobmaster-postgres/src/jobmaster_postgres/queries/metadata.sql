-- Conditions on metadata, each for values of one kind: what is stored as another kind never matches (the meaning is that of
-- jobmaster.comparing). {stored} has one row with the JSON of the value as `v`, computed once for each job: to look into a JSON
-- is to read all of it. An object is tagged with its type as `$` (see jobmaster.data). CASE keeps casts away from what is of
-- another kind, and from what rows of before may hold and no cast takes: one such row must not make the query fail. What is
-- wanted is always an array, mostly of one value: there is one comparison, and a long list is looked up in a hash table.

-- name: by_nothing
FALSE

-- name: by_null
(SELECT json_typeof(v) = 'null' FROM {stored})

-- name: by_boolean
(SELECT CASE WHEN json_typeof(v) = 'boolean' THEN {text}::boolean END FROM {stored})
  {op} ANY(:value{i}::text[]::boolean[])

-- name: by_number
-- Integers beyond 64 bits and infinities are tagged; nan compares with nothing. Floats are compared by their texts, which are
-- in their order but are not quite their values, with what was worked out for that.
(
  SELECT CASE
    WHEN json_typeof(v) = 'number' THEN CASE
      WHEN {text} ~ '[.eE]' THEN {text}::numeric {op} ANY(:real{i}::numeric[])
      ELSE {text}::numeric {op} ANY(:value{i}::numeric[])
    END
    WHEN {tag:int} THEN CASE
      WHEN {inner:v} ~ '^-?[0-9]+$' AND length({inner:v}) <= 4216 THEN {inner:v}::numeric {op} ANY(:value{i}::numeric[])
    END
    WHEN {tag:float} THEN CASE {inner:v}
      WHEN 'inf' THEN '1e5000'::numeric {op} ANY(:real{i}::numeric[])
      WHEN '-inf' THEN '-1e5000'::numeric {op} ANY(:real{i}::numeric[])
    END
  END
  FROM {stored}
)

-- name: by_text
(SELECT CASE WHEN json_typeof(v) = 'string' THEN {text} END FROM {stored}) COLLATE "C" {op} ANY(:value{i}::text[])

-- name: by_text_containing
(SELECT CASE WHEN json_typeof(v) = 'string' THEN position(:value{i}::text IN {text}) > 0 END FROM {stored})

-- name: by_text_starting
(SELECT CASE WHEN json_typeof(v) = 'string' THEN starts_with({text}, :value{i}::text) END FROM {stored})

-- name: by_text_ending
(
  SELECT CASE WHEN json_typeof(v) = 'string' THEN right({text}, length(:value{i}::text)) = :value{i}::text END
  FROM {stored}
)

-- name: by_decimal
-- Only what has up to 10,000 places before and behind the point, as is accepted (jobmaster.data.WIDEST_DECIMAL): rows of
-- before may have more than numeric takes. Infinity is beyond all of them, and NaN compares with nothing.
(
  SELECT CASE
    WHEN d = 'Infinity' THEN '1e20000'::numeric
    WHEN d = '-Infinity' THEN '-1e20000'::numeric
    WHEN d ~ '^[-+]?[0-9]+([.][0-9]*)?(E[-+]?[0-9]{1,5})?$' THEN CASE
      WHEN length(split_part(split_part(d, 'E', 1), '.', 2)) - {exponent:d} <= 10000
        AND length(ltrim(split_part(split_part(d, 'E', 1), '.', 1), '+-')) - 1 + {exponent:d} <= 10000
      THEN d::numeric
    END
  END
  FROM (SELECT CASE WHEN {tag:dec} THEN {inner:v} END AS d FROM {stored} OFFSET 0) AS decimal
) {op} ANY(:value{i}::numeric[])

-- name: by_aware_moment
-- Moments are compared as such, in whatever zone they are written. An offset stands behind the time.
(
  SELECT CASE WHEN {tag:dt} AND substr({inner:v}, 11) ~ '[-+]' AND {whole:us} THEN {inner:us}::numeric END FROM {stored}
) {op} ANY(:value{i}::numeric[])

-- name: by_naive_moment
(
  SELECT CASE WHEN {tag:dt} AND substr({inner:v}, 11) !~ '[-+]' AND {whole:us} THEN {inner:us}::numeric END FROM {stored}
) {op} ANY(:value{i}::numeric[])

-- name: by_span
(SELECT CASE WHEN {tag:td} AND {whole:us} THEN {inner:us}::numeric END FROM {stored}) {op} ANY(:value{i}::numeric[])

-- name: by_date
(SELECT CASE WHEN {tag:date} THEN {inner:v} END FROM {stored}) COLLATE "C" {op} ANY(:value{i}::text[])

-- name: by_uuid
(SELECT CASE WHEN {tag:uuid} THEN {inner:v} END FROM {stored}) COLLATE "C" {op} ANY(:value{i}::text[])

-- name: by_bytes
-- Base64 in the alphabet of the standard, without line breaks: only such text was ever stored.
(
  SELECT CASE
    WHEN {tag:bytes} AND {inner:v} ~ '^[A-Za-z0-9+/]*={0,2}$' AND length({inner:v}) % 4 = 0
    THEN decode({inner:v}, 'base64')
  END
  FROM {stored}
) {op} ANY(ARRAY(SELECT decode(wanted, 'base64') FROM unnest(:value{i}::text[]) wanted))

-- name: by_enum
(SELECT CASE WHEN {tag:enum} AND {inner:c} = :class{i}::text THEN {inner:v} END FROM {stored}) {op} ANY(:value{i}::text[])
