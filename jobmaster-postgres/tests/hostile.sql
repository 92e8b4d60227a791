-- Everything that another role can put where names are looked for: for each function and operator that statements of ours
-- may use, all signatures that there are and many that match better, each of which raises. Tables and types of our names, too.

CREATE FUNCTION public.hijack() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;

DO $$
DECLARE
  kinds text[] := ARRAY['text', 'bigint', 'integer', 'smallint', 'numeric', 'double precision', 'boolean', 'uuid', 'name',
    'oid', 'json', 'jsonb', 'interval', 'timestamp with time zone', 'bytea', 'text[]', 'bigint[]', 'integer[]', 'uuid[]'];
  body text := $body$ LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''hijacked''; END' $body$;
  one record;
BEGIN
  -- Functions: every signature of pg_catalog, and those with one or two arguments of any kinds.
  FOR one IN
    SELECT DISTINCT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS arguments,
      format_type(p.prorettype, NULL) AS result
    FROM pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (names)
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s %s', one.name, one.arguments, one.result, body);
    EXCEPTION WHEN OTHERS THEN NULL;  -- pseudo-types that this language does not take
    END;
  END LOOP;
  FOR one IN
    SELECT n.name, k AS arguments FROM unnest(names) AS n (name), unnest(kinds) AS k
    UNION ALL
    SELECT n.name, format('%s, %s', k, l) FROM unnest(names) AS n (name), unnest(kinds[:9]) AS k, unnest(kinds[:9]) AS l
    UNION ALL
    SELECT n.name, '' FROM unnest(names) AS n (name)
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS bigint %s', one.name, one.arguments, body);
    EXCEPTION WHEN duplicate_function THEN NULL;
    END;
  END LOOP;
  -- Operators between all kinds.
  FOR one IN SELECT k, l, row_number() OVER () AS number FROM unnest(kinds) AS k, unnest(kinds) AS l LOOP
    EXECUTE format('CREATE FUNCTION public.hijack_%s(%s, %s) RETURNS boolean %s', one.number, one.k, one.l, body);
    FOR i IN 1 .. array_length(operators, 1) LOOP
      EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.hijack_%s, LEFTARG = %s, RIGHTARG = %s)',
        operators[i], one.number, one.k, one.l);
    END LOOP;
  END LOOP;
  -- Types by the names of those that are cast to.
  FOR one IN SELECT unnest(ARRAY['text', 'uuid', 'int8', 'json', 'name', 'regnamespace', 'timestamptz']) AS name LOOP
    EXECUTE format('CREATE DOMAIN public.%I AS pg_catalog.bool CHECK (public.hijack())', one.name);
  END LOOP;
END
$$;
