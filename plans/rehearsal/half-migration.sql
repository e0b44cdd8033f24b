-- What a migration left that committed its first half and failed in its second.
CREATE TABLE disputes (
    id        serial PRIMARY KEY,
    escrow_id int NOT NULL,
    reason    text NOT NULL
);

ALTER TABLE escrows ADD COLUMN fee numeric(18, 2) NOT NULL DEFAULT 0;

INSERT INTO _prisma_migrations (id, checksum, migration_name, logs) VALUES
    ('4', '4', '20240104000000_add_disputes', 'Database error code: 23505');
