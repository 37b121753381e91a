-- An animal shelter: kennels, and the animals that live in them.
CREATE TABLE kennels (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  places INTEGER NOT NULL CHECK (places > 0)
) STRICT;

CREATE TABLE animals (
  id INTEGER PRIMARY KEY,
  kennel_id INTEGER NOT NULL REFERENCES kennels (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  species TEXT NOT NULL,
  born_on TEXT
) STRICT;

CREATE INDEX animals_by_kennel ON animals (kennel_id);

INSERT INTO kennels (id, name, places) VALUES (1, 'North; by the gate', 12), (2, 'South', 8);
INSERT INTO animals (id, kennel_id, name, species, born_on) VALUES
  (1, 1, 'Tom', 'cat', '2021-04-01'),
  (2, 1, 'Rex', 'dog', '2019-09-13'),
  (3, 2, 'Mia', 'cat', NULL),
  (4, 2, 'Bolt', 'dog', '2023-01-30');
