-- A hundred thousand weighings, as the old scales had stored them.
CREATE TABLE weighings (
  id INTEGER PRIMARY KEY,
  animal_id INTEGER NOT NULL REFERENCES animals (id) ON DELETE CASCADE,
  grams INTEGER NOT NULL
) STRICT;

WITH RECURSIVE counter (n) AS (
  SELECT 1
  UNION ALL
  SELECT n + 1 FROM counter WHERE n < 100000
)
INSERT INTO weighings (id, animal_id, grams)
SELECT n, 1 + n % 4, 3000 + (n * 7919) % 30000 FROM counter;

CREATE INDEX weighings_by_animal ON weighings (animal_id);
