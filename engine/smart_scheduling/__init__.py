"""SMART Scheduling Links bulk publications, read strictly: each line of each file is a fact, or a reason why it is none.

The format is FHIR R4, one JSON object a line, in files that a manifest names: Location, Schedule and Slot
(github.com/smart-on-fhir/smart-scheduling-links, specification.md). Pure but for reading the files.
"""
