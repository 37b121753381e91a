-- What is written on the door: a generated column, and a view of who still waits.
ALTER TABLE animals ADD COLUMN label TEXT GENERATED ALWAYS AS (upper(name) || ' (' || species || ')') VIRTUAL;

CREATE VIEW waiting AS
SELECT animals.id, animals.label, kennels.name AS kennel
FROM animals
JOIN kennels ON kennels.id = animals.kennel_id
WHERE animals.id NOT IN (SELECT animal_id FROM adoptions);
