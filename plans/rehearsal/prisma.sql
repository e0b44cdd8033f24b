-- A small application whose three Prisma migrations are applied.
CREATE TABLE users (
    id             serial PRIMARY KEY,
    email          text NOT NULL UNIQUE,
    wallet_address text,
    kyc_status     text
);

CREATE TYPE "EscrowStatus" AS ENUM ('CREATED', 'ACTIVE', 'RELEASED');

CREATE TABLE escrows (
    id       serial PRIMARY KEY,
    buyer_id int NOT NULL REFERENCES users (id),
    amount   numeric(18, 2) NOT NULL,
    status   "EscrowStatus" NOT NULL DEFAULT 'CREATED'
);

CREATE TABLE messages (
    id        serial PRIMARY KEY,
    escrow_id int NOT NULL REFERENCES escrows (id),
    sender_id int NOT NULL REFERENCES users (id),
    body      text NOT NULL
);

CREATE TABLE _prisma_migrations (
    id                  varchar(36) PRIMARY KEY,
    checksum            varchar(64) NOT NULL,
    finished_at         timestamptz,
    migration_name      varchar(255) NOT NULL,
    logs                text,
    rolled_back_at      timestamptz,
    started_at          timestamptz NOT NULL DEFAULT now(),
    applied_steps_count int NOT NULL DEFAULT 0
);

INSERT INTO _prisma_migrations (id, checksum, started_at, finished_at, migration_name, applied_steps_count) VALUES
    ('1', '1', now() - interval '3 days', now() - interval '3 days', '20240101000000_initial_setup', 1),
    ('2', '2', now() - interval '2 days', now() - interval '2 days', '20240102000000_add_user_fields', 1),
    ('3', '3', now() - interval '1 days', now() - interval '1 days', '20240103000000_add_escrow_status', 1);

INSERT INTO users (email, wallet_address)
SELECT 'user' || n || '@example.com', '0x' || md5('wallet' || n)
FROM generate_series(1, 5000) AS n;

INSERT INTO escrows (buyer_id, amount, status)
SELECT 1 + n % 5000, 10 + n % 500, (ARRAY['CREATED', 'ACTIVE', 'RELEASED'])[1 + n % 3]::"EscrowStatus"
FROM generate_series(1, 8000) AS n;

INSERT INTO messages (escrow_id, sender_id, body)
SELECT 1 + n % 8000, 1 + n % 5000, 'message ' || n
FROM generate_series(1, 10000) AS n;
