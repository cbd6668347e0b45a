package elements

own(elements) := elements

forbidding(elements, codes) := {e | some e in elements; e.code in codes} if is_set(elements) else := {}

asked_about(targets) := [targets]
