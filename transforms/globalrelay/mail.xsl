<?xml version="1.0" encoding="UTF-8"?>
<!--
  What the mails have in common (eml, globalrelay, assentor, rsmf): who they are from and to, their ids, the transcript
  as text and as HTML, the attached files. The result is a packaging document (docs/packaging.md).
  Each folder has a copy, because a stylesheet may read only its own folder; a test holds the copies equal.
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:p="urn:chancery:package:1"
                xmlns:exsl="http://exslt.org/common"
                xmlns:set="http://exslt.org/sets"
                xmlns:str="http://exslt.org/strings"
                extension-element-prefixes="exsl set str"
                exclude-result-prefixes="c">

  <xsl:import href="words.xsl"/>

  <!-- Where people without a mail address live, and message ids. A reserved domain reaches nobody. -->
  <xsl:param name="domain" select="'chat.invalid'"/>
  <!-- embed: files are attached; beside: they are named, and lie beside the mail on the share. -->
  <xsl:param name="attachments" select="'embed'"/>
  <!-- A file of more bytes is not embedded; 0: any size is. -->
  <xsl:param name="attachment_max" select="'0'"/>

  <xsl:key name="acts" match="Message" use="concat(generate-id(../..), '|', Sender/@uri)"/>
  <xsl:key name="listed" match="c:Participant" use="concat(generate-id(../..), '|', @uri)"/>
  <!-- Only a file that was captured bears a digest and no reason why it is missing. -->
  <xsl:key name="copies" match="Message[(@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD') and @c:sha256 and not(@c:missing)]"
           use="concat(generate-id(../..), '|', @content)"/>

  <xsl:template name="check-mail-parameters">
    <xsl:if test="$attachments != 'embed' and $attachments != 'beside'">
      <xsl:message terminate="yes">parameter attachments: expected embed or beside</xsl:message>
    </xsl:if>
    <xsl:if test="not(number($attachment_max) &gt;= 0)">
      <xsl:message terminate="yes">parameter attachment_max: expected a number of bytes, or 0</xsl:message>
    </xsl:if>
  </xsl:template>

  <!-- ============================== people ============================== -->

  <!-- Who began the conversation; the room itself, where nobody is named. -->
  <xsl:template match="Conversation" mode="initiator">
    <xsl:variable name="first" select="Messages/Message[1]/Sender[string(@uri) or string(@email)]"/>
    <xsl:choose>
      <xsl:when test="$first"><xsl:apply-templates select="$first" mode="address"/></xsl:when>
      <xsl:otherwise><xsl:apply-templates select="." mode="room-address"/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <xsl:template match="Conversation" mode="room-address">
    <p:address key="{Channel/@uri}">
      <xsl:attribute name="name"><xsl:apply-templates select="Channel" mode="name"/></xsl:attribute>
    </p:address>
  </xsl:template>

  <!-- Everybody who was there or did something. Whoever is named twice is written once by the packager. -->
  <xsl:template match="Conversation" mode="everybody">
    <xsl:variable name="conversation" select="generate-id()"/>
    <xsl:apply-templates select="c:Participants/c:Participant" mode="address"/>
    <xsl:for-each select="set:distinct(Messages/Message/Sender/@uri)">
      <xsl:if test="string(.) and not(key('listed', concat($conversation, '|', .)))"><xsl:apply-templates select=".." mode="address"/></xsl:if>
    </xsl:for-each>
  </xsl:template>

  <xsl:template match="Sender | c:Participant" mode="address">
    <p:address mail="{@email}" key="{@uri}">
      <xsl:attribute name="name"><xsl:apply-templates select="." mode="name"/></xsl:attribute>
    </p:address>
  </xsl:template>

  <!-- ============================== ids ============================== -->

  <!-- The same conversation has the same key, however often it is rendered. -->
  <xsl:template match="Conversation" mode="key">
    <xsl:variable name="first" select="Messages/Message[1]"/>
    <xsl:variable name="last" select="Messages/Message[last()]"/>
    <xsl:value-of select="concat(@c:adapter, '|', Channel/@uri, '|', StartTimeUTC/@long, '|', EndTimeUTC/@long, '|', count(Messages/Message),
        '|', $first/@c:source, '|', $first/@c:event, '|', $last/@c:source, '|', $last/@c:event, '|', @c:part)"/>
  </xsl:template>

  <!-- Mails of one room refer to an id that stands for the room: so readers thread them, and none needs the one before. -->
  <xsl:template match="Conversation" mode="thread">
    <p:ids name="References"><p:id key="room|{Channel/@uri}"/></p:ids>
  </xsl:template>

  <!-- ============================== files ============================== -->

  <!-- Each copy on the share once, however often it was taken up or down. -->
  <xsl:template match="Conversation" mode="attachments">
    <xsl:if test="$attachments = 'embed'">
      <xsl:for-each select="Messages/Message[(@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD') and @c:sha256 and not(@c:missing)]">
        <xsl:if test="count(. | key('copies', concat(generate-id(../..), '|', @content))[1]) = 1 and ($attachment_max = 0 or @c:size &lt;= $attachment_max)">
          <p:attachment source="{@content}">
            <xsl:attribute name="name"><xsl:value-of select="@c:fileName"/><xsl:if test="not(string(@c:fileName))"><xsl:value-of select="@content"/></xsl:if></xsl:attribute>
            <xsl:if test="string(@c:mediaType)"><xsl:attribute name="type"><xsl:value-of select="@c:mediaType"/></xsl:attribute></xsl:if>
          </p:attachment>
        </xsl:if>
      </xsl:for-each>
    </xsl:if>
  </xsl:template>

  <!-- ============================== the body ============================== -->

  <!-- The transcript twice, as text and as HTML, then the files. -->
  <xsl:template match="Conversation" mode="body">
    <xsl:param name="title"/>
    <xsl:variable name="transcript">
      <p:multipart subtype="alternative">
        <p:text><xsl:apply-templates select="." mode="text"/></p:text>
        <p:html><xsl:apply-templates select="." mode="html"><xsl:with-param name="title" select="$title"/></xsl:apply-templates></p:html>
      </p:multipart>
    </xsl:variable>
    <xsl:call-template name="with-files"><xsl:with-param name="transcript" select="$transcript"/></xsl:call-template>
  </xsl:template>

  <xsl:template name="with-files">
    <xsl:param name="transcript"/>
    <xsl:variable name="files"><xsl:apply-templates select="." mode="attachments"/></xsl:variable>
    <xsl:choose>
      <xsl:when test="exsl:node-set($files)/*">
        <p:multipart subtype="mixed">
          <xsl:copy-of select="$transcript"/>
          <xsl:copy-of select="$files"/>
        </p:multipart>
      </xsl:when>
      <xsl:otherwise><xsl:copy-of select="$transcript"/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <!-- ============================== the transcript as text ============================== -->

  <!-- A line of an event begins with #, its number, and the time; further lines of its text are set in. So nobody's
       text can pass for an event. -->
  <xsl:template match="Conversation" mode="text">
    <xsl:text>Room: </xsl:text>
    <xsl:call-template name="set-in"><xsl:with-param name="text"><xsl:apply-templates select="Channel" mode="name"/></xsl:with-param></xsl:call-template>
    <xsl:text>&#10;Address: </xsl:text>
    <xsl:call-template name="set-in"><xsl:with-param name="text" select="Channel/@uri"/></xsl:call-template>
    <xsl:text>&#10;</xsl:text>
    <xsl:if test="string(Channel/@c:kind)"><xsl:value-of select="concat('Kind: ', Channel/@c:kind, '&#10;')"/></xsl:if>
    <xsl:if test="string(Channel/@c:topic)">
      <xsl:text>Topic: </xsl:text>
      <xsl:call-template name="set-in"><xsl:with-param name="text" select="Channel/@c:topic"/></xsl:call-template>
      <xsl:text>&#10;</xsl:text>
    </xsl:if>
    <xsl:text>Started: </xsl:text><xsl:apply-templates select="StartTimeUTC/@string" mode="moment"/>
    <xsl:text>&#10;Ended: </xsl:text><xsl:apply-templates select="EndTimeUTC/@string" mode="moment"/>
    <xsl:value-of select="concat('&#10;Events: ', count(Messages/Message), '&#10;')"/>
    <xsl:if test="@c:parts &gt; 1"><xsl:value-of select="concat('Part: ', @c:part, ' of ', @c:parts, '&#10;')"/></xsl:if>
    <xsl:text>&#10;Participants&#10;</xsl:text>
    <xsl:if test="not(c:Participants/c:Participant)">(none listed)&#10;</xsl:if>
    <xsl:for-each select="c:Participants/c:Participant">
      <xsl:text>- </xsl:text>
      <xsl:call-template name="set-in">
        <xsl:with-param name="text">
          <xsl:apply-templates select="." mode="name"/>
          <xsl:value-of select="concat(' (', @uri)"/>
          <xsl:if test="string(@email) and @email != @uri"><xsl:value-of select="concat(', ', @email)"/></xsl:if>
          <xsl:text>)</xsl:text>
        </xsl:with-param>
      </xsl:call-template>
      <xsl:choose>
        <xsl:when test="@joined">, entered <xsl:apply-templates select="@joined" mode="moment"/></xsl:when>
        <xsl:otherwise>, there before</xsl:otherwise>
      </xsl:choose>
      <xsl:choose>
        <xsl:when test="@left">, left <xsl:apply-templates select="@left" mode="moment"/></xsl:when>
        <xsl:otherwise>, still there</xsl:otherwise>
      </xsl:choose>
      <xsl:if test="string(@inferred)"><xsl:value-of select="concat(' [concluded: ', @inferred, ']')"/></xsl:if>
      <xsl:text>&#10;</xsl:text>
    </xsl:for-each>
    <xsl:text>&#10;Events (times in UTC)&#10;</xsl:text>
    <xsl:for-each select="Messages/Message">
      <xsl:value-of select="concat('#', position(), ' ', substring(DateTimeUTC/@string, 1, 10), ' ', substring(DateTimeUTC/@string, 12, 8), ' ')"/>
      <xsl:call-template name="set-in"><xsl:with-param name="text"><xsl:apply-templates select="." mode="told"/></xsl:with-param></xsl:call-template>
      <xsl:text>&#10;</xsl:text>
    </xsl:for-each>
  </xsl:template>

  <!-- "Ann: hello", "Ann edited a message (1)". -->
  <xsl:template match="Message" mode="told">
    <xsl:apply-templates select="Sender" mode="name"/>
    <xsl:if test="Sender/@c:bot = 'true'"> [bot]</xsl:if>
    <xsl:if test="Sender/@internal = 'false'"> [external]</xsl:if>
    <xsl:variable name="act"><xsl:apply-templates select="." mode="act"/></xsl:variable>
    <xsl:if test="string($act)"><xsl:value-of select="concat(' ', $act)"/></xsl:if>
    <xsl:if test="@type != 'CHAT' and string(@c:messageId)"><xsl:value-of select="concat(' (message ', @c:messageId, ')')"/></xsl:if>
    <xsl:if test="@c:inReplyTo"><xsl:value-of select="concat(' (in reply to message ', @c:inReplyTo, ')')"/></xsl:if>
    <xsl:apply-templates select="." mode="marks"/>
    <xsl:choose>
      <xsl:when test="@type = 'CHAT'"><xsl:value-of select="concat(': ', @content)"/></xsl:when>
      <xsl:when test="@type = 'EDIT'">
        <xsl:if test="@c:previous"><xsl:value-of select="concat('&#10;before: ', @c:previous)"/></xsl:if>
        <xsl:value-of select="concat('&#10;now: ', @content)"/>
      </xsl:when>
      <xsl:when test="@type = 'DELETE'">
        <xsl:if test="string(@content)"><xsl:value-of select="concat('&#10;it said: ', @content)"/></xsl:if>
        <xsl:if test="string(@c:replacement)"><xsl:value-of select="concat('&#10;readers see: ', @c:replacement)"/></xsl:if>
      </xsl:when>
      <xsl:when test="@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD'">
        <xsl:if test="not(@c:missing)"><xsl:value-of select="concat('&#10;copy: ', @content)"/></xsl:if>
        <xsl:if test="@c:sha256"><xsl:value-of select="concat('&#10;SHA-256: ', @c:sha256)"/></xsl:if>
      </xsl:when>
    </xsl:choose>
  </xsl:template>

  <xsl:template match="@*" mode="moment">
    <xsl:value-of select="concat(substring(., 1, 10), ' ', substring(., 12, 8), ' UTC')"/>
  </xsl:template>

  <xsl:variable name="breaks">
    <from><xsl:text>&#13;&#10;</xsl:text></from><to><xsl:text>&#10;    </xsl:text></to>
    <from><xsl:text>&#13;</xsl:text></from><to><xsl:text>&#10;    </xsl:text></to>
    <from><xsl:text>&#10;</xsl:text></from><to><xsl:text>&#10;    </xsl:text></to>
  </xsl:variable>
  <xsl:variable name="breaks-from" select="exsl:node-set($breaks)/from"/>
  <xsl:variable name="breaks-to" select="exsl:node-set($breaks)/to"/>

  <xsl:template name="set-in">
    <xsl:param name="text"/>
    <xsl:variable name="words" select="string($text)"/>
    <xsl:choose>
      <xsl:when test="contains($words, '&#10;') or contains($words, '&#13;')"><xsl:value-of select="str:replace($words, $breaks-from, $breaks-to)"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="$words"/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <!-- ============================== the transcript as HTML ============================== -->

  <!-- The classes are those of the mails that Global Relay gets from other chat servers. -->
  <xsl:template match="Conversation" mode="html">
    <xsl:param name="title"/>
    <html>
      <head>
        <title><xsl:value-of select="$title"/></title>
        <style>body { font: 14px/1.45 sans-serif; color: #1c2330 } table { border-collapse: collapse } th, td { border: 1px solid #d5dae3; padding: 3px 8px; text-align: left; vertical-align: top } ul { list-style: none; padding: 0 } .message { margin: 0 0 10px } .sent_time, .post_id, .email, .usertype, .note { color: #5d6778; font-size: 12px } .username { font-weight: bold } .text { white-space: pre-wrap; margin-left: 12px } del { color: #a3262a } ins { color: #1d6b45; text-decoration: none }</style>
      </head>
      <body>
        <h1 dir="auto"><xsl:value-of select="$title"/></h1>
        <h2>Conversation Summary</h2>
        <ul>
          <li>ChannelId: <xsl:value-of select="Channel/@uri"/></li>
          <li>ChannelName: <bdi><xsl:apply-templates select="Channel" mode="name"/></bdi></li>
          <xsl:if test="string(Channel/@c:kind)"><li>ChannelType: <xsl:value-of select="Channel/@c:kind"/></li></xsl:if>
          <xsl:if test="string(Channel/@c:topic)"><li>Topic: <bdi><xsl:value-of select="Channel/@c:topic"/></bdi></li></xsl:if>
          <li>Started: <xsl:value-of select="StartTimeUTC/@string"/></li>
          <li>Ended: <xsl:value-of select="EndTimeUTC/@string"/></li>
          <li>Duration: <xsl:value-of select="format-number((EndTimeUTC/@since1970 - StartTimeUTC/@since1970) div 60000, '0')"/> minutes</li>
          <xsl:if test="@c:parts &gt; 1"><li>Part: <xsl:value-of select="concat(@c:part, ' of ', @c:parts)"/></li></xsl:if>
        </ul>
        <table class="participants">
          <tr><th>UserId</th><th>Username</th><th>UserType</th><th>Email</th><th>Joined</th><th>Left</th><th>Messages</th></tr>
          <xsl:for-each select="c:Participants/c:Participant">
            <xsl:variable name="acts" select="key('acts', concat(generate-id(../..), '|', @uri))"/>
            <tr class="participant">
              <td><xsl:value-of select="@uri"/></td>
              <td><bdi><xsl:apply-templates select="." mode="name"/></bdi></td>
              <td><xsl:apply-templates select="$acts[1]/Sender" mode="user-type"/></td>
              <td><xsl:value-of select="@email"/></td>
              <td><xsl:value-of select="@joined"/></td>
              <td><xsl:value-of select="@left"/></td>
              <td><xsl:value-of select="count($acts[@type = 'CHAT'])"/></td>
            </tr>
          </xsl:for-each>
        </table>
        <h2>Messages</h2>
        <ul><xsl:apply-templates select="Messages/Message" mode="html"/></ul>
      </body>
    </html>
  </xsl:template>

  <xsl:template match="Message" mode="html">
    <xsl:variable name="act"><xsl:apply-templates select="." mode="act"/></xsl:variable>
    <xsl:variable name="marks"><xsl:apply-templates select="." mode="marks"/></xsl:variable>
    <li class="message" data-source="{@c:source}" data-event="{@c:event}">
      <span class="post_id">
        <xsl:value-of select="@c:messageId"/>
        <xsl:if test="not(@c:messageId)"><xsl:value-of select="@id[. != 0]"/></xsl:if>
      </span>
      <xsl:text> </xsl:text><span class="sent_time"><xsl:value-of select="DateTimeUTC/@string"/></span>
      <xsl:text> </xsl:text><span class="username"><bdi><xsl:apply-templates select="Sender" mode="name"/></bdi></span>
      <xsl:text> </xsl:text><span class="usertype"><xsl:apply-templates select="Sender" mode="user-type"/></span>
      <xsl:text> </xsl:text><span class="email"><xsl:value-of select="Sender/@email"/></span>
      <xsl:if test="@type = 'EDIT' or @type = 'DELETE' or @type = 'FILEDELETE'">
        <xsl:text> </xsl:text>
        <span class="update_type"><xsl:choose><xsl:when test="@type = 'EDIT'">EditedNewMsg</xsl:when><xsl:when test="@type = 'DELETE'">Deleted</xsl:when><xsl:otherwise>FileDeleted</xsl:otherwise></xsl:choose></span>
        <xsl:text> </xsl:text><span class="update_time"><xsl:value-of select="DateTimeUTC/@string"/></span>
      </xsl:if>
      <xsl:if test="@c:inReplyTo"><xsl:text> </xsl:text><span class="note">in reply to message <xsl:value-of select="@c:inReplyTo"/></span></xsl:if>
      <xsl:if test="string($act)"><xsl:text> </xsl:text><span class="note"><bdi><xsl:value-of select="$act"/></bdi></span></xsl:if>
      <xsl:if test="string($marks)"><span class="note"><xsl:value-of select="$marks"/></span></xsl:if>
      <xsl:if test="@type = 'EDIT' and @c:previous"><div class="text" dir="auto"><del><xsl:value-of select="@c:previous"/></del></div></xsl:if>
      <xsl:choose>
        <xsl:when test="@type = 'CHAT'"><div class="text message" dir="auto"><xsl:value-of select="@content"/></div></xsl:when>
        <xsl:when test="@type = 'EDIT'"><div class="text" dir="auto"><ins><xsl:value-of select="@content"/></ins></div></xsl:when>
        <xsl:when test="@type = 'DELETE' and string(@content)"><div class="text" dir="auto"><del><xsl:value-of select="@content"/></del></div></xsl:when>
        <xsl:when test="@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD'">
          <xsl:if test="not(@c:missing)"><div class="note">copy: <xsl:value-of select="@content"/></div></xsl:if>
          <xsl:if test="@c:sha256"><div class="note">SHA-256: <xsl:value-of select="@c:sha256"/></div></xsl:if>
        </xsl:when>
      </xsl:choose>
      <xsl:if test="string(@c:replacement)"><div class="note">readers see: <bdi><xsl:value-of select="@c:replacement"/></bdi></div></xsl:if>
    </li>
  </xsl:template>

  <xsl:template match="Sender" mode="user-type">
    <xsl:choose>
      <xsl:when test="@c:bot = 'true'">bot</xsl:when>
      <xsl:otherwise>user</xsl:otherwise>
    </xsl:choose>
    <xsl:if test="@internal = 'false'">, external</xsl:if>
  </xsl:template>
</xsl:stylesheet>
