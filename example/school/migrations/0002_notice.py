# Apart from the people: Clarion's tables need theirs, and this one needs Clarion's.

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('school', '0001_people'),
        ('clarion', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('title', models.CharField(max_length=120)),
                ('body', models.TextField(blank=True, max_length=1000)),
                ('link', models.CharField(blank=True, max_length=300)),
                ('level', models.CharField(choices=[('info', 'Information'), ('success', 'Good news'), ('warning', 'Please note'), ('error', 'Problem'), ('critical', 'Urgent')], default='info', max_length=10)),
                ('audience', models.CharField(max_length=100)),
                ('created_at', models.DateTimeField()),
                ('author', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to=settings.AUTH_USER_MODEL)),
                ('event', models.OneToOneField(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='clarion.event')),
            ],
        ),
    ]
