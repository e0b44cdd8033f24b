-- it's fine; a brace { is no template
UPDATE t SET a = {{ params.x }} WHERE id = 1;
