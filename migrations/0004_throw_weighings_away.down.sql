DROP TABLE weighings;
