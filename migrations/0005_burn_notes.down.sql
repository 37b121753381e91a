DROP TRIGGER notes_update;
DROP TRIGGER notes_delete;
DROP TRIGGER notes_insert;
DROP TABLE notes_search;
DROP TABLE notes;
