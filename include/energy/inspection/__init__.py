"""What a meter file is, understood before it is read: evidence for each statement, a question where nothing decides.

`layout` finds the table within a text, `spelling` recognises how stamps, numbers and units are written, `roles` decides
what each column holds, and `understanding` puts it together as a reading plan, which the run executes and
`./pipeline inspect` prints. Nothing is guessed: what is ambiguous and would change a figure is asked.
"""
