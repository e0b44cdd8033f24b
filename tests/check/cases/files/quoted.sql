-- cleanup
UPDATE t SET a = '{{ params.y }}' WHERE id = 1;
