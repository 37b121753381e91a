-- Notes, with a full-text index that triggers keep in step.
CREATE TABLE notes (
  id INTEGER PRIMARY KEY,
  animal_id INTEGER NOT NULL REFERENCES animals (id) ON DELETE CASCADE,
  body TEXT NOT NULL
) STRICT;

CREATE VIRTUAL TABLE notes_search USING fts5 (body, content = 'notes', content_rowid = 'id');

CREATE TRIGGER notes_insert AFTER INSERT ON notes
BEGIN
  INSERT INTO notes_search (rowid, body) VALUES (new.id, new.body);
END;

CREATE TRIGGER notes_delete AFTER DELETE ON notes
BEGIN
  INSERT INTO notes_search (notes_search, rowid, body) VALUES ('delete', old.id, old.body);
END;

CREATE TRIGGER notes_update AFTER UPDATE ON notes
BEGIN
  INSERT INTO notes_search (notes_search, rowid, body) VALUES ('delete', old.id, old.body);
  INSERT INTO notes_search (rowid, body) VALUES (new.id, new.body);
END;

INSERT INTO notes (id, animal_id, body) VALUES
  (1, 1, 'Sleeps all day; hunts at night.'),
  (2, 2, 'Afraid of thunder -- keep the light on.'),
  (3, 3, 'Eats /* only */ fish.');
