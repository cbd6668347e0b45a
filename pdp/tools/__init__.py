"""Tools of authors, operators and auditors: authoring, checklist, doctor, evaluation of judges. Not in the image."""
