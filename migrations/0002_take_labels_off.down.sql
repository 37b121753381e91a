DROP VIEW waiting;
ALTER TABLE animals DROP COLUMN label;
