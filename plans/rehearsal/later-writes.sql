-- Good writes that came after the backup: a rollback would lose them, and must say so.
INSERT INTO users (email, wallet_address)
SELECT 'late' || n || '@example.com', '0x' || md5('late' || n)
FROM generate_series(1, 12) AS n;

INSERT INTO messages (escrow_id, sender_id, body)
SELECT n, n, 'written after the backup'
FROM generate_series(1, 40) AS n;
