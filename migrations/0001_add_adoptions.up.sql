CREATE TABLE adopters (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  phone TEXT
) STRICT;

CREATE TABLE adoptions (
  animal_id INTEGER NOT NULL REFERENCES animals (id) ON DELETE CASCADE,
  adopter_id INTEGER NOT NULL REFERENCES adopters (id) ON DELETE CASCADE,
  adopted_on TEXT NOT NULL,
  PRIMARY KEY (animal_id, adopter_id)
) STRICT, WITHOUT ROWID;

INSERT INTO adopters (id, name, phone) VALUES (1, 'Ada', '(030) 123-45 67'), (2, 'Grace', '+49 40 / 76 54 321');
INSERT INTO adoptions (animal_id, adopter_id, adopted_on) VALUES (1, 1, '2026-05-02'), (4, 2, '2026-08-19');
