-- name: tables
SELECT name, width FROM guild_core.partitioned ORDER BY name;

-- name: make
-- $1 table · $2 parts ahead · $3 rows in the rest from then on get their part
SELECT guild_core.make_parts($1, $2, $3::timestamptz) AS made;

-- name: list
-- From the catalogue alone.
SELECT parent, part, from_at, to_at, rows FROM guild_core.parts ORDER BY parent, from_at NULLS LAST;

-- name: over
SELECT from_at, to_at FROM guild_core.parts WHERE parent = $1 AND to_at <= $2 ORDER BY from_at;

-- name: drop
SELECT guild_core.drop_part($1, $2, $3::text[]) AS kept;

-- name: border
-- The first moment of the part that $2 lies in: only whole parts go.
SELECT guild_core.part_start(width, $2::timestamptz) AS border FROM guild_core.partitioned WHERE name = $1;
