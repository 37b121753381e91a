-- What happens to an animal is written down; the text says what it means.
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  animal_id INTEGER NOT NULL REFERENCES animals (id) ON DELETE CASCADE,
  what TEXT NOT NULL
) STRICT;

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
