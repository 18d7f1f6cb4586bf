"""Files and arrays become tasks; tasks are split; rows that two tasks share are counted."""
