"""How much rests on the judge: labelled cases put to the shipped policy with a judge that always allows."""
