"""The rows that are the truth.

Every column of events and notifications has a default in the database, so that another program may
INSERT them with plain SQL: the sweep finds the row, stamps it and delivers it.
"""

from clarion.models.inside import ARCHIVED as ARCHIVED
from clarion.models.inside import LISTED as LISTED
from clarion.models.inside import NEWEST_FIRST as NEWEST_FIRST
from clarion.models.inside import SNOOZED as SNOOZED
from clarion.models.inside import UNREAD as UNREAD
from clarion.models.inside import UNSEEN as UNSEEN
from clarion.models.inside import AudienceChunk as AudienceChunk
from clarion.models.inside import Event as Event
from clarion.models.inside import Inbox as Inbox
from clarion.models.inside import Notification as Notification
from clarion.models.inside import PublicStream as PublicStream
from clarion.models.inside import iso as iso
from clarion.models.inside import new_epoch as new_epoch
from clarion.models.outward import Attempt as Attempt
from clarion.models.outward import Delivery as Delivery
from clarion.models.outward import Endpoint as Endpoint
from clarion.models.outward import digest_of as digest_of
from clarion.models.people import Preference as Preference
from clarion.models.people import PreferenceChange as PreferenceChange
from clarion.models.people import Schedule as Schedule
from clarion.models.people import Subscription as Subscription
