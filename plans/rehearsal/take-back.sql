ALTER TABLE escrows DROP COLUMN fee;

DROP TABLE disputes;
