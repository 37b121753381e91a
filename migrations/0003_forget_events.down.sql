DROP TRIGGER move_is_an_event;
DROP TRIGGER adoption_is_an_event;
DROP TABLE events;
