"""Process one: keeps outlets safe. Needs no network service, no database server, no business."""
