-- A CHECK cannot be added to a table, so animals is rebuilt by the twelve steps of https://sqlite.org/lang_altertable.html,
-- section 7. Four tables hang on it with ON DELETE CASCADE, and none of their rows is lost: foreign keys are off by now.
PRAGMA foreign_keys = OFF;

-- What names the table in its text would keep it from being renamed.
DROP VIEW waiting;
DROP TRIGGER adoption_is_an_event;

CREATE TABLE new_animals (
  id INTEGER PRIMARY KEY,
  kennel_id INTEGER NOT NULL REFERENCES kennels (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  species TEXT NOT NULL CHECK (species IN ('cat', 'dog')),
  born_on TEXT,
  label TEXT GENERATED ALWAYS AS (upper(name) || ' (' || species || ')') VIRTUAL
) STRICT;

INSERT INTO new_animals (id, kennel_id, name, species, born_on)
SELECT id, kennel_id, name, species, born_on FROM animals;

DROP TABLE animals;
ALTER TABLE new_animals RENAME TO animals;

CREATE INDEX animals_by_kennel ON animals (kennel_id);

CREATE TRIGGER adoption_is_an_event AFTER INSERT ON adoptions
BEGIN
  INSERT INTO events (animal_id, what)
  SELECT new.animal_id,
    CASE -- END of a stay; or of two
      WHEN (SELECT species FROM animals WHERE id = new.animal_id) = 'cat' THEN 'adopted; the cat''s out'
      ELSE 'adopted'
    END;
END;

CREATE TRIGGER move_is_an_event AFTER UPDATE OF kennel_id ON animals
BEGIN
  INSERT INTO events (animal_id, what) VALUES (new.id, 'moved to ' || new.kennel_id);
END;

CREATE VIEW waiting AS
SELECT animals.id, animals.label, kennels.name AS kennel
FROM animals
JOIN kennels ON kennels.id = animals.kennel_id
WHERE animals.id NOT IN (SELECT animal_id FROM adoptions);

PRAGMA foreign_key_check;
PRAGMA foreign_keys = ON;
