-- What the bad deployment did.
UPDATE users SET wallet_address = NULL WHERE id % 9 = 0;
UPDATE escrows SET amount = -amount WHERE id % 100 = 0;
