UPDATE adopters SET phone = phone_as_written WHERE phone_as_written IS NOT NULL;
ALTER TABLE adopters DROP COLUMN phone_as_written;
