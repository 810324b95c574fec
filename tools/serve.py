import sys, django, os
print(sys.version, django.VERSION, sys.argv, os.environ.get("CLARION_UV"))
import clarion; print(clarion.__file__)
