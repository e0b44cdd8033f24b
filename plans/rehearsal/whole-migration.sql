CREATE TABLE disputes (
    id        serial PRIMARY KEY,
    escrow_id int NOT NULL,
    reason    text NOT NULL
);

ALTER TABLE escrows ADD COLUMN fee numeric(18, 2) NOT NULL DEFAULT 0;

INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) VALUES
    ('4', '4', '20240104000000_add_disputes', now(), 1);
