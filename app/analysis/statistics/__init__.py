"""Statistics: functions of numbers alone, which know no scores, runs or stores."""
