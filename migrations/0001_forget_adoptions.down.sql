DROP TABLE adoptions;
DROP TABLE adopters;
