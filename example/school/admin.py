from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from school.models import Guardianship, Notice, SchoolClass, User


class ChildInline(admin.TabularInline):
    model = Guardianship
    fk_name = "guardian"
    autocomplete_fields = ["student"]
    extra = 0


@admin.register(User)
class PersonAdmin(UserAdmin):
    list_display = ["username", "first_name", "last_name", "role", "is_active"]
    list_filter = ["role", "is_active", "is_staff"]
    fieldsets = [*UserAdmin.fieldsets, ("School", {"fields": ["role"]})]
    add_fieldsets = [*UserAdmin.add_fieldsets, ("School", {"fields": ["role"]})]
    inlines = [ChildInline]


@admin.register(SchoolClass)
class SchoolClassAdmin(admin.ModelAdmin):
    list_display = ["name", "room", "teacher"]
    list_select_related = ["teacher"]
    autocomplete_fields = ["teacher", "students"]
    search_fields = ["name"]


@admin.register(Notice)
class NoticeAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "audience", "level", "created_at"]
    list_select_related = ["author"]
    ordering = ["-created_at"]
    list_filter = ["level"]
    search_fields = ["title"]
    raw_id_fields = ["author", "event"]
