"""What a student lost against its teacher: agreement, labelled sets, speed."""
