"""The BT-08 engine's way into alert_history: one INSERT with a commit of its own for each alert, over one connection that
is kept, or over one that is made for each alert."""
import sys
import time

import psycopg2

dsn, count, connections = sys.argv[1], int(sys.argv[2]), sys.argv[3]
connection = psycopg2.connect(dsn)
connection.autocommit = True
description = (
    "Twelve failed logins from one address within five minutes, followed by none that succeeded. The account is not "
    "locked. Compare with the list of known scanners before you call anybody. The address belongs to a hosting provider "
    "and has been seen in three of the last seven days on other hosts of the zone."
)
begin = time.monotonic()
for number in range(count):
    if connections == "anew":
        connection.close()
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
    title = f"Brute force: 12 failed logins for user{number % 1013} on web-{number % 97} within 300 s"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO blueteam.alert_history (rule_id, severity, title, description) VALUES (%s, %s, %s, %s)",
            ("brute_force", "high", title, description),
        )
print(time.monotonic() - begin)
