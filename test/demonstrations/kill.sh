#!/usr/bin/env bash
# schemad is killed in the middle of a migration, with its runner, and started again. Each command is printed before it runs;
# the port is any free one, and the folder a temporary one.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'kill "$server" 2> /dev/null || true; wait; rm -rf "$folder"' EXIT

# Starts schemad on a free port, and waits until it listens.
start() {
  # The shell may look into it before the server has begun it anew.
  : > "$folder/log"
  MIGRATIONS_DIR=$folder/migrations DATABASE_URL=$folder/app.db PORT=0 node src/main.ts > "$folder/log" &
  server=$!
  until url=$(sed -n 's/.*listening on \(http[^"]*\)".*/\1/p' "$folder/log") && [ -n "$url" ]; do sleep 0.1; done
}

say() { echo "+ $*"; }

mkdir "$folder/migrations"
echo 'CREATE TABLE cats (id INTEGER PRIMARY KEY, name TEXT NOT NULL);' > "$folder/migrations/0000_init_db.up.sql"
cat > "$folder/migrations/0001_add_cats.up.sql" << 'SQL'
CREATE TABLE prices (cat_id INTEGER, cents INTEGER);
INSERT INTO cats (name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT 'Cat ' || i FROM n;
CREATE INDEX cats_by_name ON cats (name);
UPDATE cats SET name = upper(name);
SQL
start

say "curl -X POST localhost:8080/migrate -H 'Prefer: respond-async'"
run=$(curl -sS -X POST "$url/migrate" -H 'Prefer: respond-async' | jq -r .id)
# Until it is in the middle of its second statement.
statement=$(grep -m 1 '"n":2' < <(curl -sS -N "$url/runs/$run/events" 2> /dev/null))
jq -r '"(migration \(.id), line \(.line): \(.text | split(" ")[:3] | join(" ")) …)"' <<< "${statement#data: }"
say 'kill -9 schemad and its runner'
# The shell says that it was killed, at the one command or at the other.
{ kill -9 $(pgrep -P "$server") "$server" && wait "$server"; } 2> /dev/null || true
say 'schemad &'
start

say "curl localhost:8080/migrations -H 'Accept: text/plain'"
curl -sS "$url/migrations" -H 'Accept: text/plain'
say "curl -X POST localhost:8080/migrate -H 'Accept: text/plain'"
curl -sS -X POST "$url/migrate" -H 'Accept: text/plain'
say "curl localhost:8080/runs | jq -c '.runs[] | {status, from, to}'"
curl -sS "$url/runs" | jq -c '.runs[] | {status, from, to}'
count="node -p \"require('better-sqlite3')('app.db').prepare('SELECT count(*) FROM cats').pluck().get()\""
say "$count"
eval "${count/app.db/$folder/app.db}"
